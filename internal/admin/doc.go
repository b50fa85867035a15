// Package admin is the admin API for operators: Kong's calls for vault
// objects, consumers, ACL groups, plugins and credentials, over HTTP. Package api has
// the entities and the Go client.
//
// [New] returns an [API], an [net/http.Handler] that starts nothing and keeps
// nothing: entities live in a [Store], credentials in the [credential.Store] of
// their vault object, and what the configuration file declares is shown
// read-only ([entities.Declared]). Every change is announced before it is written and
// applied here before it is answered ([Announcer]), so that an answer means that
// the change holds on this replica.
//
// A file here is the calls of one kind of entity, or what all calls share: api.go, call.go and
// routes.go how a call comes to its handler, entity.go and entitychange.go what is read
// and written, audit.go the audit log, paging.go lists. The packages below know nothing of
// calls: authn who may call, body and schema how an entity is read and shown, kong what Kong
// makes of it, openapi the document of the API, credential what is kept under an access
// token, entities what decisions are made of.
//
// Shapes, status codes and messages are Kong's where Kong has them; what is ours
// is additional. A secret token is in one answer only, that of its creation or
// rotation; a Vault token is in none.
package admin
