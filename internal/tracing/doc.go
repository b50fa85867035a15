// Package tracing records a span for each check, and one for each read of Vault below it, and
// exports them by OTLP. It is configured by the environment variables of OpenTelemetry.
package tracing
