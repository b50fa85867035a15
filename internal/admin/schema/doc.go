// Package schema reads and shows entities by their fields. A [Document] is an entity by the
// names of its fields; [Typed] reads one from the body of a request, [Decode] from a record, and
// [Shown] is what answers have of it. [Violations] say what is wrong with it, as Kong does.
package schema
