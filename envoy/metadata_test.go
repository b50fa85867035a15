package envoy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/vault-authz/vault-authz/authz"
)

func TestMetadataDescribesTheDecision(t *testing.T) {
	t.Parallel()
	alice := map[string]any{"id": "c0ffee00-0000-4000-8000-000000000001", "username": "alice", "custom_id": "c-1"}
	change := func(f func(*authz.Decision)) authz.Decision {
		d := allowAlice()
		f(&d)
		return d
	}
	tests := []struct {
		name string
		d    authz.Decision
		want map[string]any
	}{
		{
			name: "allowed", d: allowAlice(),
			want: map[string]any{
				"decision": "allow", "reason": "authenticated", "policy": "orders", "consumer": alice,
				"groups": []any{"gold", "eu"}, "credential": authz.Fingerprint("alice-access"),
			},
		},
		{
			name: "allowed, with the credential hidden",
			d:    change(func(d *authz.Decision) { d.Policy.HideCredentialIdentifier = true }),
			want: map[string]any{
				"decision": "allow", "reason": "authenticated", "policy": "orders", "consumer": alice, "groups": []any{"gold", "eu"},
			},
		},
		{
			name: "anonymous, in place of a credential that was presented",
			d: change(func(d *authz.Decision) {
				d.Reason, d.Anonymous, d.InsteadOf, d.AccessToken = authz.ReasonAnonymous, true, authz.ReasonWrongSecret, presented
				d.Consumer = &authz.Consumer{ID: "c0ffee00-0000-4000-8000-000000000002", Username: "guest"}
			}),
			want: map[string]any{
				"decision": "allow", "reason": "anonymous", "policy": "orders", "anonymous": true,
				"consumer": map[string]any{"id": "c0ffee00-0000-4000-8000-000000000002", "username": "guest"},
			},
		},
		{
			name: "preflight",
			d:    authz.Decision{Allowed: true, Reason: authz.ReasonPreflight, Policy: &authz.Policy{Name: "orders"}},
			want: map[string]any{"decision": "allow", "reason": "preflight", "policy": "orders"},
		},
		{
			name: "a policy that only observes asserts nobody's identity",
			d: change(func(d *authz.Decision) {
				d.Shadow, d.Reason = true, authz.ReasonWrongSecret
			}),
			want: map[string]any{"decision": "allow", "reason": "wrong_secret", "policy": "orders", "shadow": true},
		},
		{
			name: "denied", d: denyFor(authz.ReasonWrongSecret),
			want: map[string]any{"decision": "deny", "reason": "wrong_secret", "policy": "orders"},
		},
		{
			name: "denied, though the consumer is known",
			d:    change(func(d *authz.Decision) { d.Allowed, d.Reason = false, authz.ReasonACL }),
			want: map[string]any{"decision": "deny", "reason": "acl", "policy": "orders"},
		},
		{
			name: "denied, with the policies that match", d: authz.Decision{Reason: authz.ReasonAmbiguousPolicy, Matching: []string{"open", "strict"}},
			want: map[string]any{"decision": "deny", "reason": "ambiguous_policy", "matching": []any{"open", "strict"}},
		},
		{
			name: "denied without a policy", d: authz.Decision{Reason: authz.ReasonNoPolicy},
			want: map[string]any{"decision": "deny", "reason": "no_policy"},
		},
		{
			name: "allowed without a policy", d: change(func(d *authz.Decision) { d.Policy = nil }),
			want: map[string]any{
				"decision": "allow", "reason": "authenticated", "consumer": alice, "groups": []any{"gold", "eu"},
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := responded(t, getRequest(), test.d).GetDynamicMetadata().AsMap()
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheAnswerContainsNoTokenOfADeniedClient(t *testing.T) {
	t.Parallel()
	for _, reason := range authz.Reasons() {
		for _, onError := range []authz.OnError{authz.OnErrorDeny, authz.OnErrorResponse} {
			r := getRequest(authz.Header{Name: "access-token", Value: presented}, authz.Header{Name: "accept", Value: presented})
			d := denyFor(reason)
			d.Policy.OnError = onError
			if text := protojson.Format(responded(t, r, d)); strings.Contains(text, presented) {
				t.Errorf("%s: the access token is in the answer: %s", reason, text)
			}
		}
	}
}

// An answer that cannot be encoded would fail the call.
func TestMetadataCanAlwaysBeEncoded(t *testing.T) {
	t.Parallel()
	d := allowAlice()
	d.Policy.Name, d.Consumer.Username, d.Consumer.CustomID = "\xff", "\xfe", "\xfd"
	d.Consumer.Groups, d.AccessToken = []string{"\xfc"}, "\xfb"
	for _, allowed := range []bool{true, false} {
		d.Allowed = allowed
		out := responded(t, getRequest(), d)
		if (out.GetOkResponse() != nil) != allowed {
			t.Errorf("allowed %t: got %v", allowed, out)
		}
		if _, ok := out.GetDynamicMetadata().GetFields()[metaPolicy].GetKind().(*structpb.Value_StringValue); !ok {
			t.Errorf("allowed %t: got metadata %v", allowed, out.GetDynamicMetadata())
		}
	}
}
