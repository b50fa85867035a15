// Package admin is the door for operators: Kong's admin calls for vault
// objects, consumers, ACL groups, plugins and credentials, over HTTP. Package api has
// the entities and the Go client.
//
// [New] returns an [API], an [net/http.Handler] that starts nothing and keeps
// nothing: entities live in a [Store], credentials in the [CredentialStore] of
// their vault object, and what the configuration file declares is shown
// read-only ([Declared]). Every change is announced before it is written and
// applied here before it is answered ([Announcer]), so that an answer means that
// the change holds on this replica.
//
// [Entities] is the way back: it turns records and declarations into what a
// decision is made of.
//
// Shapes, status codes and messages are Kong's where Kong has them; what is ours
// is additional. A secret token is in one answer only, that of its creation or
// rotation; a Vault token is in none.
package admin
