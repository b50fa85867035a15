// Package kubernetes tests what deploy has for Kubernetes on a real API server: the chart and
// the manifests, Pod Security, and the login to Vault with the token of a service account.
package kubernetes
