//go:build tools

// Package language pins the source of the host that plain `pulumi` starts for a Python program.
package language

import _ "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
