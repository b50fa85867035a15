package gateways

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

func TestATestUsesEachShippedFile(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	sources, err := filepath.Glob("*_test.go")
	must(t, err)
	for _, source := range sources {
		raw, err := os.ReadFile(source)
		must(t, err)
		tests.Write(raw)
	}
	found := 0
	for _, folder := range []string{"istio", "envoy-gateway"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "deploy", folder, "*"))
		must(t, err)
		for _, file := range files {
			found++
			if name := filepath.Base(file); !strings.Contains(tests.String(), `"`+name+`"`) && !strings.Contains(tests.String(), `"`+folder+"/"+name+`"`) {
				t.Errorf("no test uses deploy/%s/%s", folder, name)
			}
		}
	}
	if found < 12 {
		t.Errorf("%d files, want at least 12", found)
	}
}

// An object that is in two files would be replaced: one gateway would lose its check when the
// other one gets it.
func TestTheFilesForIstioDefineEachObjectOnce(t *testing.T) {
	t.Parallel()
	in := map[string]string{}
	for file, text := range istioObjects(t) {
		for document := range strings.SplitSeq(text, "\n---\n") {
			var o struct {
				APIVersion string `yaml:"apiVersion"`
				Kind       string
				Metadata   struct{ Name, Namespace string }
			}
			must(t, yaml.Unmarshal([]byte(document), &o))
			key := fmt.Sprintf("%s %s %s/%s", o.APIVersion, o.Kind, o.Metadata.Namespace, o.Metadata.Name)
			if other := in[key]; other != "" {
				t.Errorf("%s and %s both define %s", other, file, key)
			}
			in[key] = file
		}
	}
}

// TestTheFilesNeedEnvoyGateway18: the version before does not have statusOnError.
func TestTheFilesNeedEnvoyGateway18(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ version, definitions, says string }{
		{"v1.8.0", "charts/gateway-helm/charts/crds/crds", ""},
		{"v1.7.0", "charts/gateway-helm/crds", `unknown field "spec.extAuth.statusOnError"`},
	} {
		t.Run(test.version, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, "shop", "vault-authz")
			files, err := parts.ModuleFiles(t.Context(), "github.com/envoyproxy/gateway@"+test.version, test.definitions+"/gatewayapi-crds.yaml", test.definitions+"/generated")
			must(t, err)
			must(t, c.Define(t.Context(), files...))
			for _, name := range []string{"example.yaml", "backend.yaml", "mutual-tls.yaml"} {
				c.apply(t, partstest.Shipped(t, "envoy-gateway/"+name))
			}
			switch err := c.Apply(t.Context(), policies(t)); {
			case test.says == "":
				must(t, err)
			case err == nil || !strings.Contains(err.Error(), test.says):
				t.Errorf("err = %v, want one that says %s", err, test.says)
			}
		})
	}
}
