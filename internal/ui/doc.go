// Package ui is the page for people who look after credentials: static files that call the admin
// API from the browser. It holds no data and knows no token, so it is served to callers that are
// not authenticated.
//
// What is in files/ is what is served, byte for byte. There is no build step: the page is native
// ES modules, and files/thirdparty has the libraries as they are published.
package ui
