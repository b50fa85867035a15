// Package api has the entities as people write them: in the configuration file,
// in calls of the admin API, and as flags of the command line. There is one struct
// for each entity, and one field for each option; its tags say how the option is
// written, what it may be, and what it does.
//
// To add an option of a policy, add a field to [Policy] with its tags, one of the
// same name to [authz.Policy], and its effect there. The configuration file and its
// reference, the admin API with its schemas and its OpenAPI document, the flags of
// the command line and the import follow from the field.
//
// [Client] calls the admin API.
package api
