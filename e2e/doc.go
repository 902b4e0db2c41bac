// Package e2e lives through the journeys: a real browser, real relying parties
// written with other people's libraries, a real mail server, and the product as
// a whole, in process or as the built binary.
//
// Besides its tests it has what they and the bench drive the product with:
// Visitor, a browser without a screen (plain HTTP, cookies, forms), and Code,
// an authenticator app. Both rely on the stable hooks of the pages and on
// nothing else.
package e2e
