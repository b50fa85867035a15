// Package cli is the command line: one file for each noun, and what the commands share. It
// parses, asks a running service or starts one, and prints; what it starts is wired by
// internal/app.
package cli
