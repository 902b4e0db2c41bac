// Package access says who may enter which application, what tokens say about
// it, and what somebody who grants access may give.
//
// Access is per application: none, invited, active. A role is held for an
// organisation, and organisations form a tree: vendor, distributor, partner,
// company. What is held for an organisation holds for everything under it when
// it is about granting (MayGrant); tokens name exactly what was assigned
// (Claims).
//
// Nobody ends with rights that their granter did not hold (invariant I8). The
// operator, who runs the installation, is not bound by MayGrant.
package access
