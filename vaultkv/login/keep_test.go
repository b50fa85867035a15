package login

import (
	"context"
	"errors"
	"testing"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"
)

// A countingServer answers nothing.
type countingServer struct{ asked int }

func (s *countingServer) Ask(context.Context, func(context.Context) (*api.Response, error)) (*Answer, error) {
	s.asked++
	return nil, errors.New("no answer")
}

func (*countingServer) UseToken(string) {}

// A request may have logged in between the decision of Keep and its login.
func TestKeepDoesNotLogInAgainForATokenThatWasReplaced(t *testing.T) {
	t.Parallel()
	client, err := api.NewClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	server := &countingServer{}
	s, err := New(Config{Method: Cert{}, ClientCertificate: true}, client, server, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	s.lease = lease{token: "new"}
	if err := s.do(t.Context(), stepLogIn, "old"); err != nil || server.asked != 0 {
		t.Errorf("for the token before: %d requests, %v, want none", server.asked, err)
	}
	if err := s.do(t.Context(), stepLogIn, "new"); err == nil || server.asked != 1 {
		t.Errorf("for the current token: %d requests, %v, want a login", server.asked, err)
	}
}
