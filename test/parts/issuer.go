package parts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// An Issuer signs tokens, publishes its key, and reviews the tokens of service accounts as
// Kubernetes does, for logins by JWT and Kubernetes.
type Issuer struct {
	// URL is its address. Its key is at /jwks.
	URL string

	key    *ecdsa.PrivateKey
	server *httptest.Server
}

// Claims in the tokens of an [Issuer].
const (
	IssuerName = "https://issuer.example"
	Audience   = "vault"
)

// StartIssuer starts an Issuer on a free loopback port.
func StartIssuer() (*Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	raw, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	i := &Issuer{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{
			"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1",
			"x": base64.RawURLEncoding.EncodeToString(raw[1:33]), "y": base64.RawURLEncoding.EncodeToString(raw[33:]),
		}}})
	})
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/tokenreviews", reviewToken)
	i.server = httptest.NewServer(mux)
	i.URL = i.server.URL
	return i, nil
}

// Close stops it.
func (i *Issuer) Close() { i.server.Close() }

// JWT returns a token for a subject and an audience.
func (i *Issuer) JWT(subject, audience string) (string, error) {
	now := time.Now()
	return i.sign(map[string]any{
		"iss": IssuerName, "sub": subject, "aud": audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
}

// ServiceAccount returns the token of a service account.
func (i *Issuer) ServiceAccount(namespace, name string) (string, error) {
	now := time.Now()
	return i.sign(map[string]any{
		"iss": "https://kubernetes.example", "aud": []string{Audience}, "sub": "system:serviceaccount:" + namespace + ":" + name,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": namespace, "serviceaccount": map[string]string{"name": name, "uid": uid(name)}},
	})
}

func uid(name string) string { return "uid-of-" + name }

// sign returns a token with the claims (RFC 7515, ES256).
func (i *Issuer) sign(claims map[string]any) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "ES256", "typ": "JWT", "kid": "1"})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, digest[:])
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// reviewToken accepts every token with the syntax of a JWT.
func reviewToken(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Spec struct{ Token string } }
	_ = json.NewDecoder(r.Body).Decode(&asked)
	status := map[string]any{"authenticated": false, "error": "lookup failed: no such token"}
	if parts := strings.Split(asked.Spec.Token, "."); len(parts) == 3 && strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		var claims struct{ Sub string }
		_ = json.Unmarshal(payload, &claims)
		name := claims.Sub[strings.LastIndex(claims.Sub, ":")+1:]
		status = map[string]any{"authenticated": true, "audiences": []string{Audience}, "user": map[string]any{
			"username": claims.Sub, "uid": uid(name), "groups": []string{"system:serviceaccounts"},
		}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
}
