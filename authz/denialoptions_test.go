package authz

import (
	"net/http"
	"strings"
	"testing"
)

func TestTheDenialsOfAPolicyAreValidUpToTheirLimitsAndNotBeyond(t *testing.T) {
	t.Parallel()
	body := func(change func(*DenialBody)) func(*Policy) { return func(p *Policy) { change(&p.Denial.Body) } }
	tests := []struct {
		name    string
		change  func(*Policy)
		mistake string
	}{
		{"nothing of its own", func(*Policy) {}, ""},
		{"all of it", func(p *Policy) {
			p.Denial = DenialOptions{
				Unauthenticated: DenialAnswer{401, "Kein Schlüssel, \"bitte\""}, Forbidden: DenialAnswer{404, "Nothing here"}, Unavailable: DenialAnswer{429, "Later"},
				Body: DenialBody{
					JSON: `{"type":"about:blank","title":"{{title}}","status":{{status}},"detail":"{{ message }}"}`, JSONType: "application/problem+json",
					HTML: "<p>{{message}}", XML: "<?xml version=\"1.0\"?>\n<e id=\"{{request_id}}\">{{class}}<m>{{message}}</m></e>\n", Text: "{{class}} {{realm}}\n",
				},
				Docs: "https://developer.example.com/keys?lang=en#lost",
			}
		}, ""},

		{"404 without a good credential", func(p *Policy) { p.Denial.Unauthenticated.Status = 404 }, ""},
		{"success without a good credential", func(p *Policy) { p.Denial.Unauthenticated.Status = 200 }, "denial.unauthenticated.status: 200 is not one of 401, 403, 404"},
		{"a redirect without a good credential", func(p *Policy) { p.Denial.Unauthenticated.Status = 302 }, "denial.unauthenticated.status: 302 "},
		{"a wait without a good credential", func(p *Policy) { p.Denial.Unauthenticated.Status = 503 }, "denial.unauthenticated.status: 503 "},
		{"401 for the acl, which no credential satisfies", func(p *Policy) { p.Denial.Forbidden.Status = 401 }, "denial.forbidden.status: 401 is not one of 403, 404"},
		{"429 for an outage", func(p *Policy) { p.Denial.Unavailable.Status = 429 }, ""},
		{"success for an outage", func(p *Policy) { p.Denial.Unavailable.Status = 200 }, "denial.unavailable.status: 200 is not one of 503, 429"},
		{"404 for an outage, which clients do not repeat", func(p *Policy) { p.Denial.Unavailable.Status = 404 }, "denial.unavailable.status: 404 "},
		{"a negative status", func(p *Policy) { p.Denial.Forbidden.Status = -1 }, "denial.forbidden.status: -1 "},
		{"an outage that Envoy answers", func(p *Policy) { p.OnError, p.Denial.Unavailable.Message = OnErrorGRPC, "Later" }, "denial.unavailable: with on_error: grpc_error"},
		{"another class beside it", func(p *Policy) { p.OnError, p.Denial.Forbidden.Message = OnErrorGRPC, "No" }, ""},

		{"a message as long as may be", func(p *Policy) { p.Denial.Forbidden.Message = strings.Repeat("a", 200) }, ""},
		{"a longer message", func(p *Policy) { p.Denial.Forbidden.Message = strings.Repeat("a", 201) }, "denial.forbidden.message: longer than 200 bytes"},
		{"a message of two lines", func(p *Policy) { p.Denial.Unavailable.Message = "a\nb" }, "denial.unavailable.message: "},
		{"a message that is not UTF-8", func(p *Policy) { p.Denial.Unauthenticated.Message = "\xff" }, "denial.unauthenticated.message: "},

		{"a message that no XML can have", func(p *Policy) { p.Denial.Unavailable.Message = "a\uFFFF" }, "denial.unavailable.message: "},
		{"a realm that no XML can have", func(p *Policy) { p.Realm, p.Denial.Body.XML = "a\uFFFE", "<a>{{realm}}</a>" }, "realm: "},

		{"docs over plain HTTP", func(p *Policy) { p.Denial.Docs = "http://docs.internal/" }, ""},
		{"docs that are a path", func(p *Policy) { p.Denial.Docs = "/docs" }, "denial.docs: "},
		{"docs that are a script", func(p *Policy) { p.Denial.Docs = "javascript:alert(1)" }, "denial.docs: "},
		{"docs with a password", func(p *Policy) { p.Denial.Docs = "https://user:password@example.com/" }, "denial.docs: "},
		{"docs with a quote", func(p *Policy) { p.Denial.Docs = `https://example.com/", error="x` }, "denial.docs: "},
		{"docs with a backslash", func(p *Policy) { p.Denial.Docs = `https://example.com/a\` }, "denial.docs: "},
		{"docs with a space", func(p *Policy) { p.Denial.Docs = "https://example.com/a b" }, "denial.docs: "},
		{"docs with a line break", func(p *Policy) { p.Denial.Docs = "https://example.com/\r\nset-cookie: a=b" }, "denial.docs: "},
		{"docs with an umlaut", func(p *Policy) { p.Denial.Docs = "https://example.com/schlüssel" }, "denial.docs: "},
		{"long docs", func(p *Policy) { p.Denial.Docs = "https://example.com/" + strings.Repeat("a", 512) }, "denial.docs: longer than 512"},
		{"docs without a 401", func(p *Policy) { p.Denial.Docs, p.Denial.Unauthenticated.Status = "https://example.com/", 404 }, "denial.docs: it is a part of WWW-Authenticate"},

		{"a field that does not exist", body(func(b *DenialBody) { b.Text = "{{reason}} {{password}}" }), `denial.body.text: there is no field "reason"; write one of {{class}}, {{status}}, {{title}}, {{message}}, {{request_id}}, {{realm}}; there is no field "password"`},
		{"a field of Go's templates", body(func(b *DenialBody) { b.Text = "{{.RequestID}}" }), `no field ".RequestID"`},
		{"a call", body(func(b *DenialBody) { b.HTML = `{{printf "%s" message}}` }), "denial.body.html: there is no field"},
		{"a field that does not end", body(func(b *DenialBody) { b.XML = "<a>{{message}</a>" }), "denial.body.xml: {{ has no }} after it"},
		{"the end of a field without its beginning is text", body(func(b *DenialBody) { b.JSON = `{"a":{"b":{}}}` }), ""},
		{"a template as long as may be", body(func(b *DenialBody) { b.Text = strings.Repeat("a", 4096) }), ""},
		{"a longer template", body(func(b *DenialBody) { b.Text = strings.Repeat("a", 4097) }), "denial.body.text: longer than 4096 bytes"},
		{"a template that could grow too much", body(func(b *DenialBody) { b.HTML = strings.Repeat("{{message}}", 14) }), "denial.body.html: the body could become 16800 bytes long, more than 16384"},
		{"one that could just not", body(func(b *DenialBody) { b.HTML = strings.Repeat("{{message}}", 13) }), ""},
		{"one that grows with the realm", func(p *Policy) {
			p.Realm, p.Denial.Body.Text = strings.Repeat("r", 200), strings.Repeat("{{realm}}", 14)
		}, "more than 16384"},
		{"NUL", body(func(b *DenialBody) { b.HTML = "a\x00" }), "denial.body.html: it contains a control character"},
		{"DEL", body(func(b *DenialBody) { b.HTML = "a\x7f" }), "denial.body.html: it contains a control character"},
		{"line breaks and tabs", body(func(b *DenialBody) { b.Text = "a\r\n\tb" }), ""},
		{"not UTF-8", body(func(b *DenialBody) { b.Text = "\xff" }), "denial.body.text: it is not UTF-8"},

		{"JSON with a status as a number", body(func(b *DenialBody) { b.JSON = `{"status":{{status}}}` }), ""},
		{"JSON with a status as text", body(func(b *DenialBody) { b.JSON = `{"status":"{{status}}"}` }), ""},
		{"JSON with two fields in one text", body(func(b *DenialBody) { b.JSON = `["{{class}}/{{request_id}}"]` }), ""},
		{"JSON with a field without quotes", body(func(b *DenialBody) { b.JSON = `{"id":{{request_id}}}` }), `only {{status}} may stand without them`},
		{"JSON with a field that would be a part of a number", body(func(b *DenialBody) { b.JSON = `{"id":1{{realm}}}` }), "denial.body.json: it does not become JSON"},
		{"JSON with a field behind a backslash", body(func(b *DenialBody) { b.JSON = `{"id":"\{{request_id}}"}` }), "denial.body.json: it does not become JSON"},
		{"JSON with a field in an escape", body(func(b *DenialBody) { b.JSON = `{"id":"\u00{{request_id}}"}` }), "denial.body.json: it does not become JSON"},
		{"JSON that does not end", body(func(b *DenialBody) { b.JSON = `{"id":"{{request_id}}"` }), "denial.body.json: it does not become JSON"},
		{"JSON twice", body(func(b *DenialBody) { b.JSON = `{} {}` }), "denial.body.json: it does not become JSON"},

		{"a type without a template", body(func(b *DenialBody) { b.JSONType = "application/problem+json" }), "denial.body.json_type: it is the type of denial.body.json, which is not given"},
		{"a type that is not JSON", body(func(b *DenialBody) { b.JSON, b.JSONType = "{}", "text/html" }), "denial.body.json_type: "},
		{"a type with a parameter", body(func(b *DenialBody) { b.JSON, b.JSONType = "{}", "application/json; a=b" }), "denial.body.json_type: "},
		{"a type with a line break", body(func(b *DenialBody) { b.JSON, b.JSONType = "{}", "application/a\r\n+json" }), "denial.body.json_type: "},
		{"a type without a name", body(func(b *DenialBody) { b.JSON, b.JSONType = "{}", "application/+json" }), "denial.body.json_type: "},
		{"a long type", body(func(b *DenialBody) { b.JSON, b.JSONType = "{}", "application/"+strings.Repeat("a", 60)+"+json" }), "denial.body.json_type: "},
		{"the type that it has anyway", body(func(b *DenialBody) { b.JSON, b.JSONType = "{}", "application/json" }), ""},
		{"a type of a vendor", body(func(b *DenialBody) { b.JSON, b.JSONType = "{}", "application/vnd.shop.error-2+json" }), ""},

		{"XML with a field between tags and in an attribute", body(func(b *DenialBody) { b.XML = `<e class="{{class}}">{{message}}</e>` }), ""},
		{"XML with a field in a tag", body(func(b *DenialBody) { b.XML = `<{{class}}/>` }), "denial.body.xml: it does not become XML"},
		{"XML that does not end", body(func(b *DenialBody) { b.XML = `<e>{{message}}` }), "denial.body.xml: it does not become XML"},
		{"XML without an element", body(func(b *DenialBody) { b.XML = ` ` }), "denial.body.xml: it has 0 elements"},
		{"XML with two elements", body(func(b *DenialBody) { b.XML = `<a/><b/>` }), "denial.body.xml: it has 2 elements"},
		{"XML with text outside", body(func(b *DenialBody) { b.XML = `<a/>{{message}}` }), "denial.body.xml: it has text outside"},
		{"XML with a field in a comment", body(func(b *DenialBody) { b.XML = `<a/><!-- {{message}} -->` }), "denial.body.xml: it has a field in a comment"},
		{"XML with a field in an instruction", body(func(b *DenialBody) { b.XML = `<?go {{message}}?><a/>` }), "denial.body.xml: it has a field in a processing instruction"},
		{"XML with a comment", body(func(b *DenialBody) { b.XML = `<a/><!-- ours -->` }), ""},
		{"a field in a CDATA section", body(func(b *DenialBody) { b.XML = `<a><![CDATA[{{message}}]]></a>` }), "denial.body.xml: "},
		{"XML with entities of its own", body(func(b *DenialBody) { b.XML = `<!DOCTYPE a [<!ENTITY b "{{message}}">]><a>{{message}}</a>` }), "denial.body.xml: "},
		{"XML in another encoding", body(func(b *DenialBody) { b.XML = `<?xml version="1.0" encoding="latin1"?><a/>` }), "denial.body.xml: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := DefaultPolicy()
			p.Name, p.Vault = "orders", "main"
			test.change(&p)
			wantMistake(t, p.Validate(), test.mistake)
		})
	}
}

// A class has one status each, and every mistake that a template must not betray is in one class.
func TestReasonsAreInTheClassOfTheirStatus(t *testing.T) {
	t.Parallel()
	want := map[int]string{
		0: "forbidden", http.StatusUnauthorized: "unauthenticated", http.StatusForbidden: "forbidden",
		http.StatusBadRequest: "bad_request", http.StatusInternalServerError: "internal", http.StatusServiceUnavailable: "unavailable",
	}
	for _, r := range append(Reasons(), 255) {
		if got := r.Class().String(); got != want[r.Status()] {
			t.Errorf("%s: got the class %s, want %s", r, got, want[r.Status()])
		}
		if r.badCredential() != (r.Class() == ClassUnauthenticated) && r != ReasonAnonymousACL {
			t.Errorf("%s: the class is %s", r, r.Class())
		}
	}
	if got := DenialClass(255).String(); got != "forbidden" {
		t.Errorf("a class that does not exist: got %s", got)
	}
}

func TestAPolicyGivesItsDenialsAStatusAndAMessageByTheirClass(t *testing.T) {
	t.Parallel()
	hidden := DenialOptions{
		Unauthenticated: DenialAnswer{Status: http.StatusNotFound}, Forbidden: DenialAnswer{Status: http.StatusNotFound, Message: "No such thing"},
		Unavailable: DenialAnswer{Status: http.StatusTooManyRequests},
	}
	told := DenialOptions{
		Unauthenticated: DenialAnswer{Message: "Who are you?"}, Forbidden: DenialAnswer{Status: http.StatusForbidden}, Unavailable: DenialAnswer{Message: "Later"},
	}
	tests := []struct {
		name       string
		options    DenialOptions
		reason     Reason
		status     int
		message    string
		challenges bool
	}{
		{"without options", DenialOptions{}, ReasonMissingToken, 401, "No access token and secret token found in request", true},
		{"without options, another", DenialOptions{}, ReasonACL, 403, "You cannot consume this service", false},

		{"hidden, without tokens", hidden, ReasonMissingToken, 404, "Not Found", false},
		{"hidden, with a token twice", hidden, ReasonDuplicateToken, 404, "Not Found", false},
		{"hidden, with an unknown token", hidden, ReasonUnknownToken, 404, "Not Found", false},
		{"hidden, with a wrong secret", hidden, ReasonWrongSecret, 404, "Not Found", false},
		{"hidden, with an anonymous consumer without groups", hidden, ReasonAnonymousACL, 404, "Not Found", false},
		{"hidden, by the acl", hidden, ReasonACL, 404, "No such thing", false},
		{"an outage as too many requests", hidden, ReasonUnavailable, 429, "Too Many Requests", false},
		{"a deadline as too many requests", hidden, ReasonCanceled, 429, "Too Many Requests", false},
		{"a mistake of ours stays one", hidden, ReasonInternal, 500, "An unexpected error occurred", false},
		{"an anonymous consumer that does not exist stays a mistake of ours", hidden, ReasonAnonymousMissing, 500, "An unexpected error occurred", false},
		{"a reason to allow is still a denial", hidden, ReasonAuthenticated, 404, "No such thing", false},

		{"a message, without tokens", told, ReasonMissingToken, 401, "Who are you?", true},
		{"a message, with a wrong secret", told, ReasonWrongSecret, 401, "Who are you?", true},
		{"the status that it has anyway", told, ReasonACL, 403, "You cannot consume this service", false},
		{"a message for an outage", told, ReasonUnavailable, 503, "Later", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := DefaultPolicy()
			p.Denial, p.Templates = test.options, test.options.templates()
			d := Decision{Reason: test.reason, Policy: &p}
			if d.Status() != test.status || d.Message() != test.message || d.Challenges() != test.challenges {
				t.Errorf("got %d %q, challenge %t; want %d %q, challenge %t", d.Status(), d.Message(), d.Challenges(), test.status, test.message, test.challenges)
			}
		})
	}
}

func TestTheTemplatesOfAPolicyComeWithItsDenials(t *testing.T) {
	t.Parallel()
	denied := func(change func(*Policy)) Decision {
		return newBench(t, change).Check(t.Context(), get("/"))
	}
	if d := denied(func(*Policy) {}); d.Policy.Templates != nil {
		t.Errorf("a policy without denials of its own: got %+v", d.Policy.Templates)
	}
	d := denied(func(p *Policy) { p.Denial.Body.Text = "{{class}}: {{message}}" })
	want := Template{{"", FieldClass}, {": ", FieldMessage}}
	if d.Policy.Templates == nil || len(d.Policy.Templates.Text) != len(want) || d.Policy.Templates.JSON != nil || d.Policy.Templates.HTML != nil || d.Policy.Templates.XML != nil {
		t.Fatalf("got %+v", d.Policy.Templates)
	}
	for i, part := range d.Policy.Templates.Text {
		if part != want[i] {
			t.Errorf("part %d: got %+v, want %+v", i, part, want[i])
		}
	}
	if d := denied(func(p *Policy) { p.Denial.Unauthenticated.Status = 404 }); d.Status() != 404 {
		t.Errorf("the status: got %d", d.Status())
	}
	if d := denied(func(p *Policy) { p.Denial.Unauthenticated.Status, p.Shadow = 404, true }); !d.Allowed || d.Reason != ReasonMissingToken {
		t.Errorf("a policy that only observes: got allowed %t, %s", d.Allowed, d.Reason)
	}
}

// Parts of a template are those of its text, whatever that is.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"", "a", "{{class}}", "a{{ status }}b{{title}}{{message}}c", "{{{{class}}}}", "{{", "}}", "{{request_id}}}", "{{realm}", "{{\n}}", "{{ü}}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parts, err := parseTemplate(text)
		if err != nil {
			if parts != nil || strings.Contains(err.Error(), "\n") || len(err.Error()) > 200*(1+strings.Count(text, opening)) {
				t.Errorf("%q: got %+v, %v", text, parts, err)
			}
			return
		}
		var written strings.Builder
		for i, part := range parts {
			written.WriteString(part.Literal)
			if strings.Contains(part.Literal, opening) || part.Field >= fieldCount || part.Field == FieldNone && i != len(parts)-1 {
				t.Errorf("%q: part %d is %+v", text, i, part)
			}
			if part.Field != FieldNone {
				written.WriteString(opening + fieldNames[part.Field] + closing)
			}
		}
		if again, err := parseTemplate(written.String()); err != nil || len(again) != len(parts) {
			t.Errorf("%q became %q: %v", text, written.String(), err)
		}
		if n := strings.Count(text, opening); n > 0 && !strings.Contains(written.String(), opening) {
			t.Errorf("%q became %q: fields are lost", text, written.String())
		}
	})
}
