// Package openapi holds a running service to the document that it serves at
// /openapi.yaml. It is a module of its own, so that the validator and what that needs
// are no dependencies of the product.
package openapi
