package partstest

import (
	"os"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
)

// StartKubernetes starts an API server until the end of the test.
func StartKubernetes(t *testing.T) *parts.Kubernetes {
	t.Helper()
	if os.Getenv("KUBE_APISERVER_BIN") == "" {
		Missing(t, "KUBE_APISERVER_BIN is not set: `make kubernetes` builds the API server and runs this test")
	}
	k, err := parts.StartKubernetes(t.Context(), parts.KubernetesConfig{
		APIServer: Binary(t, "KUBE_APISERVER_BIN"), Etcd: Binary(t, "ETCD_BIN"), Kubectl: Binary(t, "KUBECTL_BIN"), Dir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Kill)
	return k
}
