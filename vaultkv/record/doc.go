// Package record reads credential records: what Kong's plugin, the admin API or an
// operator has written under an access token.
//
// A [Source] reads them from a mount and is an [authz.Source]. Secrets leave this package as
// digests only. The text of an error names a field of the record, and contains no value.
package record
