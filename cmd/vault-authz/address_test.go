package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// awaitAddresses reads the addresses file of a service that is starting.
func awaitAddresses(name string) (at addresses, err error) {
	for range 1000 {
		var raw []byte
		if raw, err = os.ReadFile(name); err == nil {
			return at, json.Unmarshal(raw, &at)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return at, fmt.Errorf("no addresses within 10s: %w", err)
}
