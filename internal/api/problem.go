package api

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

// A Problem is an answer that is not a success, in Kong's shape. It is the error
// of the [Client], too.
type Problem struct {
	// Status is the HTTP status.
	Status int `json:"-"`
	// Code and Name are Kong's, for mistakes in the request.
	Code int    `json:"code,omitempty"`
	Name string `json:"name,omitempty"`
	// Message is for people.
	Message string `json:"message"`
	// Fields says what is wrong with which field.
	Fields map[string]any `json:"fields,omitempty"`
	// Cause says why a store is unavailable, where that is known.
	Cause string `json:"cause,omitempty"`
	// Foreign says that the answer is not one of this API: another program listens at the
	// URL, or a proxy answered. Only the [Client] sets it.
	Foreign bool `json:"-"`
	// Allow lists the methods for a 405. Only the service sets it.
	Allow string `json:"-"`
}

// Error implements error.
func (p *Problem) Error() string { return fmt.Sprintf("%d: %s", p.Status, p.Text()) }

// Text is the message in plain words, and what to do, where Kong's message of a value that is
// taken has those of its database.
func (p *Problem) Text() string {
	_, ofPlugin := p.Fields["route"]
	switch {
	case p.Status != http.StatusConflict || !strings.HasPrefix(p.Message, "UNIQUE "):
		return p.Message
	case ofPlugin && p.Fields["name"] == PluginACL:
		return "there is a plugin acl already; change that one, or delete it"
	case ofPlugin:
		return "another policy is the default; update that one to default false first"
	case p.Fields["group"] != nil:
		return fmt.Sprintf("the consumer is in the group %q already", p.Fields["group"])
	case p.Fields["access_token"] != nil:
		return "a credential of another consumer has this access token; choose another"
	}
	var taken []string
	for _, name := range slices.Sorted(maps.Keys(p.Fields)) {
		taken = append(taken, fmt.Sprintf("%s %q", strings.ReplaceAll(name, "_", " "), fmt.Sprint(p.Fields[name])))
	}
	return "there is one with the " + strings.Join(taken, " and ") + " already; choose another, or delete the one that is there"
}

// Transient reports whether a call that failed may succeed if it is repeated: the service, or
// the Vault that it uses, is down or overloaded.
func Transient(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		switch p.Status {
		case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var network *net.OpError
	var slow net.Error
	return errors.As(err, &network) || errors.As(err, &slow) && slow.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
