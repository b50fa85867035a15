package api

import "testing"

func TestTheTextOfAProblemIsInPlainWords(t *testing.T) {
	t.Parallel()
	const message = "UNIQUE violation detected on '{…}'"
	for _, tt := range []struct {
		name    string
		problem Problem
		want    string
	}{
		{"a message of ours", Problem{Status: 409, Message: "policies tie"}, "policies tie"},
		{"a mistake", Problem{Status: 400, Message: message, Fields: map[string]any{"name": "x"}}, message},
		{"a name", Problem{Status: 409, Message: message, Fields: map[string]any{"name": "orders"}}, `there is one with the name "orders" already; choose another, or delete the one that is there`},
		{"a custom id", Problem{Status: 409, Message: message, Fields: map[string]any{"custom_id": "crm-17"}}, `there is one with the custom id "crm-17" already; choose another, or delete the one that is there`},
		{"a group", Problem{Status: 409, Message: message, Fields: map[string]any{"consumer": map[string]any{"id": "x"}, "group": "staff"}}, `the consumer is in the group "staff" already`},
		{"an access token, which is not repeated", Problem{Status: 409, Message: message, Fields: map[string]any{"access_token": "t"}}, "a credential of another consumer has this access token; choose another"},
		{"a second default", Problem{Status: 409, Message: message, Fields: map[string]any{"name": "vault-auth", "service": nil, "route": nil, "consumer": nil}}, "another policy is the default; update that one to default false first"},
		{"a second acl", Problem{Status: 409, Message: message, Fields: map[string]any{"name": "acl", "service": nil, "route": nil, "consumer": nil}}, "there is a plugin acl already; change that one, or delete it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.problem.Text(); got != tt.want {
				t.Errorf("Text() = %q, want %q", got, tt.want)
			}
		})
	}
}
