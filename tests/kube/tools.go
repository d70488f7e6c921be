//go:build tools

// Package kube pins the source of the Kubernetes API server, and of the etcd
// under it, that the tests build.
package kube

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
