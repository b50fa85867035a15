// Command istioxds is Istio's xDS server over files. Istio makes the configuration of an
// Envoy from them as istiod does, without an API server: from a mesh configuration, from
// Istio's own resources, and from Kubernetes objects (Services, EndpointSlices, the Gateway
// API), which a fake client has.
//
// It refuses fields that Istio does not know, and what Istio's validation refuses. At SIGHUP
// it reads Istio's own resources again. xDS is in plain text, and nobody is authenticated:
// it is for tests.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/test"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address of the xDS server; the first line of the output has the port")
	meshFile := flag.String("mesh", "", "mesh configuration, as in the key mesh of the ConfigMap istio")
	resources := flag.String("resources", "", "folder with Istio's resources and Kubernetes objects, *.yaml")
	flag.Parse()
	if err := run(*listen, *meshFile, *resources); err != nil {
		fmt.Fprintln(os.Stderr, "istioxds:", err)
		os.Exit(1)
	}
}

func run(listen, meshFile, folder string) error {
	mesh, err := readMesh(meshFile)
	if err != nil {
		return err
	}
	read, err := readFolder(folder)
	if err != nil {
		return err
	}
	again, stop := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	return test.Wrap(func(t test.Failer) {
		server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
			MeshConfig: mesh, Configs: read.configs, KubernetesObjectString: read.objects,
			ListenerBuilder: func() (net.Listener, error) { return net.Listen("tcp", listen) },
		})
		fmt.Println("xDS on", server.Listener.Addr())
		for {
			select {
			case <-stop:
				return
			case <-again:
				if err := apply(server.Store(), &read, folder); err != nil {
					fmt.Fprintln(os.Stderr, "istioxds: not all was applied:", err)
					continue
				}
				fmt.Println("applied", len(read.configs), "resources of Istio")
			}
		}
	})
}

// apply gives the store what is in the folder now instead of what was read before.
func apply(store model.ConfigStore, before *resources, folder string) error {
	now, err := readFolder(folder)
	if err != nil {
		return err
	}
	old := map[string]config.Config{}
	for _, c := range before.configs {
		old[c.Key()] = c
	}
	var failed error
	for _, c := range now.configs {
		if _, has := old[c.Key()]; has {
			_, err = store.Update(c)
		} else {
			_, err = store.Create(c)
		}
		delete(old, c.Key())
		failed = errors.Join(failed, err)
	}
	for _, c := range old {
		failed = errors.Join(failed, store.Delete(c.GroupVersionKind, c.Name, c.Namespace, nil))
	}
	*before = now
	return failed
}
