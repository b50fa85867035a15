package gateways

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
