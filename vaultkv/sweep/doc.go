// Package sweep compares a cache with the mount that it is a copy of, to find what was
// deleted there without a word to this service.
package sweep
