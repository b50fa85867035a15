package kongimport

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestParseSaysWhatIsWrongWithoutQuoting(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, want string }{
		{"nothing", "", "no entities"},
		{"a text", token, "neither an object nor a list"},
		{"YAML that is none", "consumers:\n- a: [" + token, "is not valid YAML"},
		{"a key twice", token + ": 1\n" + token + ": 2\n", "is not valid YAML"},
		{"JSON that is none", `{"vault_token":"` + token + `",}`, "is not valid JSON after byte"},
		{"another file", "_format_version: '3.0'\n", "no entities"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(Part{"the file", []byte(tt.file)})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), token) {
				t.Errorf("parsing %q: got the error %v, want one with %q and without the token", tt.file, err, tt.want)
			}
		})
	}
}

// withTokens sets every Vault token in a document, and says whether there was
// one.
func withTokens(value any, token string) bool {
	found := false
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			if name == "vault_token" || name == "token" {
				value[name], found = token, true
				continue
			}
			found = withTokens(inner, token) || found
		}
	case []any:
		for _, inner := range value {
			found = withTokens(inner, token) || found
		}
	}
	return found
}

// Whatever the file, there is a plan or an error, and neither the plan, nor what
// is printed of it, nor the error has a Vault token in it.
func FuzzAPlanHasNoToken(f *testing.F) {
	seeds := []string{
		vaultJSON,
		`{"vaults":[{"mount":"a","host":"b","vault_token":"x","name":{"token":"y"}}],"consumers":{"data":[{"username":"a","acls":[{"group":"g"}]}]}}`,
		"consumers:\n- username: a\n  id: " + aliceID + "\n  acls: [{group: g}]\nplugins:\n- name: vault-auth\n  _config: c\n_plugin_configs: {c: {vault: x}}\n",
		"services:\n- name: s\n  token: x\n  routes:\n  - name: r\n    hosts: [a.b]\n    plugins: [{name: vault-auth, config: {vault: {id: x, vault_token: y}}}, {name: acl, config: {allow: [a]}}]\n",
		`[{"mount":"m","host":"h","protocol":"http","port":1,"name":"n","token":"x"},{"name":"acl","config":{"deny":["a"]}}]`,
		"a: &a [*a]\n", "? {a: b}\n: [1]\n", "a: 2001-01-01\nplugins: {data: 1, next: 2}\n",
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	const secret = "hvs.ThisIsTheToken"
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 1<<14 || bytes.Contains(raw, []byte("ThisIsTheToken")) {
			return
		}
		documents, err := decode(raw)
		if err != nil {
			return
		}
		var file bytes.Buffer
		for _, d := range documents {
			withTokens(d, secret)
			encodedDocument, err := json.Marshal(d)
			if err != nil {
				return // YAML has numbers that JSON has not
			}
			file.Write(encodedDocument)
			file.WriteByte('\n')
		}
		for _, raw := range [][]byte{raw, file.Bytes()} {
			parsed, err := Parse(Part{"the file", raw})
			if err != nil {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error has the token: %v", err)
				}
				continue
			}
			for _, have := range []*Existing{{}, existing()} {
				changes := Plan(parsed, have)
				var out bytes.Buffer
				if err := changes.Print(&out); err != nil {
					t.Fatal(err)
				}
				if err := json.NewEncoder(&out).Encode(changes); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(out.String(), secret) {
					t.Errorf("the plan of\n%s\nhas the token:\n%s", raw, &out)
				}
			}
		}
	})
}
