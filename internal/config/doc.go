// Package config turns a YAML file and the environment into the configuration
// of every other package.
//
// The precedence is default, file, environment, flag; each beats what stands
// before it. Unknown keys are errors, and all mistakes are reported at once.
// Secrets are never in the file: it names a file or an environment variable.
package config
