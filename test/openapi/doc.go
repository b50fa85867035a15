// Package openapi compares a running service with the document that it serves at
// /openapi.yaml. It is a module of its own, so that the validator does not become a
// dependency of the product.
package openapi
