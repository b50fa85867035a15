// Package authn says who may call the admin API: by which name of the listener, from which web
// page, with which token or client certificate, and in which role. It counts and logs who may
// not, and slows down those who guess.
//
// The zero value of everything lets nobody in.
package authn
