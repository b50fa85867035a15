// Command ratelimitserver is Envoy's rate limit service (github.com/envoyproxy/ratelimit) with a
// Redis in its memory, for tests: several Envoys that ask it share their limits.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alicebob/miniredis/v2"
	"github.com/envoyproxy/ratelimit/src/service_cmd/runner"
	"github.com/envoyproxy/ratelimit/src/settings"
)

func main() {
	socket := flag.String("socket", "", "path of the Unix socket for Envoy")
	folder := flag.String("limits", "", "folder with the limits, one file for each domain")
	flag.Parse()
	if err := run(*socket, *folder); err != nil {
		fmt.Fprintln(os.Stderr, "ratelimitserver:", err)
		os.Exit(1)
	}
}

func run(socket, folder string) error {
	if socket == "" || folder == "" {
		return errors.New("give -socket and -limits")
	}
	redis := miniredis.NewMiniRedis()
	if err := redis.StartAddr("127.0.0.1:0"); err != nil {
		return err
	}
	s := settings.NewSettings()
	s.GrpcUds = socket
	// It opens both, and nobody asks them here.
	s.Host, s.Port, s.DebugHost, s.DebugPort = "127.0.0.1", 0, "127.0.0.1", 0
	s.RuntimePath, s.RuntimeAppDirectory, s.RuntimeWatchRoot = filepath.Dir(folder), filepath.Base(folder), false
	s.RedisSocketType, s.RedisUrl = "tcp", redis.Addr()
	s.DisableStats = true
	r := runner.NewRunner(s)
	r.Run() // it ends the process at SIGTERM
	return nil
}
