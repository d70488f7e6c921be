//go:build tools

// Package engine pins the source of the Pulumi engine that docsearch builds
// where the official installer cannot be reached.
package engine

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
