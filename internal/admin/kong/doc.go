// Package kong has the shapes of Kong: a policy as the plugin vault-auth, entities as its
// schemas describe them, what a node tells of itself, and the kinds of entities that Kong has
// and this service does not. The service never accepts what it will not do.
package kong
