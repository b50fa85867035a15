// Package openapi composes the OpenAPI document of the admin API: openapi.yaml, with the
// fields of the entities in it.
package openapi
