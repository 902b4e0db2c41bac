// Package rar reads authorization_details (RFC 9396): what a client may do, said
// in more than a word. It knows no protocol: the provider asks it whether a
// request fits what the operator described, the hub whether the person was asked
// before, and the consent page how to say it.
//
//	Parse, Stored       text to Details
//	Details.Check       against the types of the application and of the client
//	Details.Owed        what the person has to be asked
//	Details.Within      what may be asked for later: the same, or less
//	Details.For         what concerns a resource server
//	Describe            in people's words
//
// Everything in Details comes from outside. What reaches a page or a token has
// been through Parse, which takes no text that could not be shown as it is.
package rar
