package cache_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/vault-authz/vault-authz/cache"
)

func Example() {
	errNoSuchUser := errors.New("no such user")
	load := func(_ context.Context, name string) (string, error) {
		fmt.Println("loading", name)
		if name != "alice" {
			return "", errNoSuchUser
		}
		return "Alice Liddell", nil
	}
	c, err := cache.New(cache.DefaultConfig(), load, cache.Rules[string]{
		Absent: func(err error) bool { return errors.Is(err, errNoSuchUser) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for _, name := range []string{"alice", "alice", "bob", "bob"} {
		fmt.Println(c.Lookup(context.Background(), name))
	}
	// Output:
	// loading alice
	// Alice Liddell <nil>
	// Alice Liddell <nil>
	// loading bob
	//  no such user
	//  no such user
}
