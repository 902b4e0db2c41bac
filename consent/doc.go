// Package consent is step 3 of a sign-in: the terms and conditions of the
// application, then what its client wants to know.
//
//	/terms?i=&h=     accept the current terms, or decline       Terms.Show, Terms.Submit
//	/consent?i=      allow what the client asks for, or deny    Scopes.Show, Scopes.Submit
//
// h is the hash of the text that the form showed. Only the text that was read is
// accepted: when a newer version appeared meanwhile, that one is shown instead.
// Both pages run under flow.Require and prove one fact each.
package consent
