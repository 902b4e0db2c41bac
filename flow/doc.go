// Package flow is the hub of a sign-in. A pending authorization is an
// Interaction; Next, a pure function, says from its facts which step comes next;
// Hub moves people between the steps, opens sessions, and lets the provider
// issue codes. Steps prove one fact and come back; they never call each other.
//
//	/                start page: who is signed in, where to go   Hub.Home
//	/signin          begins a sign-in that no portal asked for   Hub.SignIn
//	/continue?i=     goes on with an interaction, or ends it     Hub.Continue
//	/switch?i=       POST: sign in as somebody else              Hub.Switch
//	/refuse?i=       POST: back to the portal without signing in Hub.Abandon
//	/activated?i=    the end of an activation                    Hub.Activated
//
// The Interaction travels sealed in a cookie of the browser that began it: an
// anonymous request writes nothing, every node can go on with it, and a restart
// loses nothing. What makes that safe:
//
//   - It holds facts with the time they were proved. Facts older than the
//     account's NotBefore do not count; once they opened a session they count
//     only together with that live session, so a copied cookie does not outlive
//     a sign-out.
//   - It is bound to the browser's own sealed cookie.
//   - It is consumed by store.UseOnce in the commit that issues the code.
package flow
