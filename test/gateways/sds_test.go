package gateways

import (
	"net"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/vault-authz/vault-authz/test/parts"
)

// secrets gives an Envoy the certificate of its workload, as Istio's agent does (SDS).
type secrets struct {
	secret.UnimplementedSecretDiscoveryServiceServer

	byName map[string]*tls.Secret
}

// outsideOfTheMesh serves a certificate that nobody asks for.
func outsideOfTheMesh(t *testing.T) string {
	t.Helper()
	other, err := parts.NewAuthority("other")
	must(t, err)
	return startSecrets(t, other, "spiffe://example.org/nobody")
}

// startSecrets serves the certificate of an identity in the mesh, and returns its address.
func startSecrets(t *testing.T, mesh *parts.Authority, identity string) string {
	t.Helper()
	issued, err := mesh.Issue(nil, identity)
	must(t, err)
	inline := func(content []byte) *core.DataSource {
		return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: content}}
	}
	s := &secrets{byName: map[string]*tls.Secret{
		"default": {Name: "default", Type: &tls.Secret_TlsCertificate{TlsCertificate: &tls.TlsCertificate{
			CertificateChain: inline(issued.Certificate), PrivateKey: inline(issued.Key),
		}}},
		"ROOTCA": {Name: "ROOTCA", Type: &tls.Secret_ValidationContext{ValidationContext: &tls.CertificateValidationContext{TrustedCa: inline(mesh.PEM)}}},
	}}
	server := grpc.NewServer()
	secret.RegisterSecretDiscoveryServiceServer(server, s)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(server.Stop)
	return ln.Addr().String()
}

// StreamSecrets implements [secret.SecretDiscoveryServiceServer]. Nothing changes later, so it
// answers the first request for each name, and not the acknowledgements.
func (s *secrets) StreamSecrets(stream secret.SecretDiscoveryService_StreamSecretsServer) error {
	sent := map[string]bool{}
	for {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		answer := &discovery.DiscoveryResponse{VersionInfo: "1", Nonce: "1", TypeUrl: request.GetTypeUrl()}
		for _, name := range request.GetResourceNames() {
			found := s.byName[name]
			if found == nil || sent[name] {
				continue
			}
			sent[name] = true
			packed, err := anypb.New(proto.Message(found))
			if err != nil {
				return err
			}
			answer.Resources = append(answer.Resources, packed)
		}
		if len(answer.GetResources()) == 0 {
			continue
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}
