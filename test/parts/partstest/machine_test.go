package partstest_test

import (
	"net"
	"os/exec"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

func TestATestOnItsOwnMachineHasEveryPortAndTheAddressesOfPods(t *testing.T) {
	t.Parallel()
	if !partstest.OnItsOwnMachine(t) {
		return
	}
	for _, address := range []string{"127.0.0.1:80", "10.96.0.1:80", "10.244.0.9:80"} {
		ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "192.0.2.1:80"); err == nil {
		t.Error("an address outside of the machine can be reached")
	}
}

func TestAContainerHasItsOwnFilesAndHosts(t *testing.T) {
	t.Parallel()
	if !partstest.OnItsOwnMachine(t) {
		return
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	root := partstest.Root(t, shell, "10.244.0.9 shop.shop.svc.cluster.local\n")
	p, err := parts.Start(parts.Command{Name: "container", Path: "/program", Dir: "/", Root: root, Args: []string{"-c", "[ -d /home ] || echo no home; read line </etc/hosts; echo $line >/dev/stdout"}})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	const want = "no home\n10.244.0.9 shop.shop.svc.cluster.local\n"
	if got := p.Log(); got != want {
		t.Errorf("it wrote %q, want %q", got, want)
	}
}
