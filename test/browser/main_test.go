package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// patience is how long the page may take for anything. It is for a loaded machine.
const patience = 30 * time.Second

// suite is shared by all tests: the programs, the browser, and one site for the tests that
// break nothing.
var suite struct {
	service partstest.Service
	// browser is a context of chromedp.
	browser func() (context.Context, error)
	site    func() (*site, error)
}

func TestMain(m *testing.M) { os.Exit(runSuite(m)) }

func runSuite(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "vault-authz-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	defer suite.service.Remove()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	var stops []func()
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	suite.browser = sync.OnceValues(func() (context.Context, error) {
		browser, stop, err := startBrowser(ctx, os.Getenv("CHROMIUM_BIN"))
		stops = append(stops, stop)
		return browser, err
	})
	suite.site = sync.OnceValues(func() (*site, error) {
		s, err := startSite(ctx, dir, onOpenBao())
		stops = append(stops, func() { s.close(code != 0) })
		return s, err
	})
	return m.Run()
}

// startBrowser starts Chromium without a window.
func startBrowser(ctx context.Context, binary string) (context.Context, func(), error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(binary),
		// In a container neither its sandbox nor its GPU works. It sees no other site than ours.
		chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("no-zygote", true),
		chromedp.Flag("font-render-hinting", "none"),
		chromedp.Flag("hide-scrollbars", true),
	)
	ctx, stopAllocator := chromedp.NewExecAllocator(ctx, options...)
	ctx, stopBrowser := chromedp.NewContext(ctx)
	stop := func() { stopBrowser(); stopAllocator() }
	started := make(chan error, 1)
	// The context of the first call is that of the browser, so it has no time limit.
	go func() { started <- chromedp.Do(ctx) }()
	select {
	case err := <-started:
		return ctx, stop, err
	case <-time.After(patience):
		stop()
		return nil, func() {}, errors.New("Chromium did not start within " + patience.String())
	}
}

// sharedSite returns the site of the tests that break nothing.
func sharedSite(t *testing.T) *site {
	t.Helper()
	partstest.Need(t, "ENVOY_BIN", "BAO_BIN", "CHROMIUM_BIN")
	s, err := suite.site()
	if err != nil {
		t.Fatalf("starting the shared site: %v", err)
	}
	return s
}

// ownSite returns a site that a test may break.
func ownSite(t *testing.T, c siteConfig) *site {
	t.Helper()
	partstest.Need(t, "ENVOY_BIN", c.server.variable, "CHROMIUM_BIN")
	s, err := startSite(t.Context(), t.TempDir(), c)
	t.Cleanup(func() { s.close(t.Failed()) })
	if err != nil {
		t.Fatalf("starting a site: %v", err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
