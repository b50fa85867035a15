// Package reconcile makes decisions go by the entities: those of the configuration, and those that
// were made through the admin API of any replica. A [Reconciler] builds what decisions are based
// on whenever one of the two changes, and keeps what was before while that cannot be used. A
// [Gate] lets a request wait while changes may have been missed.
package reconcile
