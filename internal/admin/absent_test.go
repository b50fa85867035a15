package admin

import (
	"slices"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/admin/kong"
)

func TestWhatThereIsNoneOfHasAnEmptyListAndIsRefusedWithWords(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	const nothing = `{"data":[],"next":null}` + "\n"
	for _, k := range slices.Concat(kong.AbsentKinds, []kong.Absent{{Path: "/default/services", Entity: "services", Instead: "services, routes and what belongs to them are the gateway's"}}) {
		if a := b.must(200, b.get(k.Path+"?size=1000&tags=deck")); a.raw != nothing {
			t.Errorf("GET %s = %s, want an empty list", k.Path, a.raw)
		}
		b.must(400, b.get(k.Path+"?size=1001"))
		b.must(204, b.do("DELETE", k.Path+"/"+someID, "", ""))
		for _, call := range []struct {
			method, path string
			status       int
		}{
			{"POST", k.Path, 400},
			{"PUT", k.Path + "/" + someID, 400},
			{"PATCH", k.Path + "/" + someID, 400},
			{"POST", k.Path + "/" + someID + "/plugins", 400},
			{"GET", k.Path + "/" + someID, 404},
			{"GET", k.Path + "/" + someID + "/plugins", 404},
		} {
			contentType, body := typeJSON, `{"name":"x"}`
			if call.method == "GET" {
				contentType, body = "", ""
			}
			if a := b.must(call.status, b.do(call.method, call.path, contentType, body)); !strings.Contains(a.text("message"), k.Instead) {
				t.Errorf("%s %s: got %s, want it to say %q", call.method, call.path, a.raw, k.Instead)
			}
		}
	}
	for _, k := range kong.AbsentOfConsumers {
		path := "/consumers/alice/" + k.Path
		if a := b.must(200, b.get(path)); a.raw != nothing {
			t.Errorf("GET %s = %s, want an empty list", path, a.raw)
		}
		b.must(404, b.get("/consumers/nobody/"+k.Path))
		if a := b.must(400, b.json("POST", path, `{"name":"x"}`)); !strings.Contains(a.text("message"), k.Instead) {
			t.Errorf("POST %s: got %s, want it to say %q", path, a.raw, k.Instead)
		}
		b.must(400, b.json("PUT", path+"/"+someID, `{"name":"x"}`))
		b.must(404, b.get(path+"/"+someID))
	}
}

// What decK takes for references to secrets, fails on, and would delete.
func TestDecKNeverTakesVaultObjectsForKongsVaults(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(200, b.get("/vaults/kong-auth"))
	b.headers["User-Agent"] = "decK/v1.64.0"
	if a := b.must(200, b.get("/vaults?size=1000")); a.raw != `{"data":[],"next":null}`+"\n" {
		t.Errorf("GET /vaults = %s for decK, want an empty list", a.raw)
	}
	b.must(404, b.get("/vaults/kong-auth"))
	b.must(204, b.do("DELETE", "/vaults/kong-auth", "", ""))
	for _, method := range []string{"PUT", "PATCH"} {
		if a := b.must(400, b.json(method, "/vaults/kong-auth", `{"prefix":"env","name":"env"}`)); !strings.Contains(a.raw, "/vault-auth") {
			t.Errorf("%s /vaults/kong-auth = %s for decK, want the path of vault objects", method, a.raw)
		}
	}
	b.must(400, b.json("POST", "/vaults", `{"prefix":"env","name":"env"}`))
	b.must(200, b.get("/vault-auth/kong-auth"))
	delete(b.headers, "User-Agent")
	b.must(200, b.get("/vaults/kong-auth"))
}
