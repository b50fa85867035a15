package vaultkv

import "time"

// SetPoll makes Run look more often than is good for a server.
func (v *Vault) SetPoll(d time.Duration) { v.poll = d }

// CloseIdle closes the connections that would outlive a test.
func (v *Vault) CloseIdle() { v.closeIdle() }

// SetCensusBytes lets a short list be too long.
func (v *Vault) SetCensusBytes(n int64) { v.censusBytes = n }

// KeysIn reads an answer to LIST.
var KeysIn = keysIn
