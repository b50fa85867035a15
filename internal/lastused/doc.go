// Package lastused records when credentials were last used, to the minute.
//
// A [Use] is beside each credential in memory. A request marks it with an atomic store, once a
// minute; all other requests of that minute only load it. A [Tracker] gathers the marks once a
// minute and merges them into documents that all replicas share:
//
//	used/0-000                 the credentials whose keys begin with no bit in particular
//	used/1-000, used/1-001     those whose keys begin with 0 and with 1
//	used/2-000 … used/2-003    and so on, up to used/8-255
//
// A document has at most 16,384 credentials. When one is full, replicas write to those of the
// next level, which have twice as many parts, and leave those of the levels before as they are:
// nothing is moved, so a crash in between loses nothing. A reader takes the latest time of all
// levels. Each minute a replica writes one document at the most, that of the next part which has
// something new. So what is read is one minute old if there is one part, and as many minutes as
// there are parts at the worst: 64 for a million credentials. As much is lost if a replica
// crashes. A replica that is stopped writes as much as it can in the time that it has, which is
// everything if there are a few parts.
//
// No use means something only since a time: that of the first document, or that when a document
// was found to be deleted or to be older than it was. Without documents nothing is known.
package lastused
