// Package login is step 1 of a sign-in: who is it, and do they know the
// password. Activation links and forgotten passwords lead here, too.
//
//	/login?i=            user name and password              Login.Show, Login.Submit
//	/activate?token=     an invitation: the first password   Activate.Show, Activate.Submit
//	/activate/resend     POST: a fresh link for a dead one   Activate.Resend
//	/forgot[?i=]         asks for a link by mail             Forgot.Show, Forgot.Submit
//	/reset?token=        a new password                      Reset.Show, Reset.Submit
//
// /login runs under flow.Require. The others begin interactions of their own:
// they can be opened in any browser, at any time, and by mail scanners. So GET
// shows and changes nothing but a cookie; only POST consumes a link, once, in the
// commit that keeps the password. Of two tabs one wins and the other sees that
// the link was used, with a way on.
//
// A wrong password, an unknown name and a disabled account read alike and take
// as long. What was typed stays in the form, except for the password.
package login
