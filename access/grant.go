package access

import (
	"fmt"

	"anteroom/store"
)

// Rights that the rule of granting knows. Every other right is the
// application's own word and only compared.
const (
	RightSee    = "organisation.see" // see an organisation and its members
	RightManage = "access.manage"    // give and take access in an organisation
)

// RightOf is the right that a role itself is. A role that may give another one
// lists it; no role key can pass for RightSee or RightManage.
func RightOf(roleKey string) string { return "role:" + roleKey }

// Roles says which rights each role of an application contains, by role key,
// besides its own (RightOf).
type Roles map[string][]string

// Tree is the organisations: each one's parent, "" at a root. An organisation
// that is not in it is unknown, and nothing is granted there.
type Tree map[string]string

// NewTree makes a Tree of rows.
func NewTree(rows []store.Organisation) Tree {
	t := Tree{}
	for _, o := range rows {
		t[o.ID] = o.ParentID
	}
	return t
}

// Within tells whether org is under ancestor, or is it. "" is nowhere.
func (t Tree) Within(org, ancestor string) bool {
	if ancestor == "" {
		return false
	}
	for steps := 0; steps <= len(t); steps++ { // a cycle, which no store allows, ends here
		parent, known := t[org]
		if !known {
			return false
		}
		if org == ancestor {
			return true
		}
		org = parent
	}
	return false
}

// Grant is what somebody wants to give (or take): a role for an organisation, in
// an application, to a member.
type Grant struct {
	ApplicationID      string
	MemberOrganisation string // the organisation that the member's account belongs to
	OrganisationID     string // for which the role is held
	RoleKey            string // "" is bare access
}

// NotAllowed says which part of the rule a grant breaks.
type NotAllowed struct{ reason string }

func (n *NotAllowed) Error() string { return "grant not allowed: " + n.reason }

// Explain says why.
func (n *NotAllowed) Explain() string { return n.reason }

// MayGrant is the rule of bounded granting (invariant I8), and pure. The granter
// needs, for the member's own organisation and for the target organisation, both
// to see it and to manage access there; and holds, for the target organisation,
// every right that the granted role contains. What is held for an organisation
// counts for those under it. Only the granter's active assignments to the same
// application count: rights in one portal give nothing in another.
//
// Returns *NotAllowed.
func MayGrant(granter []store.Assignment, roles Roles, tree Tree, g Grant) error {
	if g.MemberOrganisation == "" || g.OrganisationID == "" {
		return &NotAllowed{"Access can be given only to members of an organisation, and for an organisation."}
	}
	places := []struct{ org, what string }{
		{g.MemberOrganisation, "the member's organisation"},
		{g.OrganisationID, "the organisation that this is for"},
	}
	for _, place := range places {
		held := heldAt(granter, roles, tree, g.ApplicationID, place.org)
		if !held[RightSee] || !held[RightManage] {
			return &NotAllowed{fmt.Sprintf("You do not manage access in %s.", place.what)}
		}
	}
	held := heldAt(granter, roles, tree, g.ApplicationID, g.OrganisationID)
	for _, right := range roles.contains(g.RoleKey) {
		if !held[right] {
			return &NotAllowed{"This role can do more than you may there. You can give at most the rights that you hold."}
		}
	}
	return nil
}

// heldAt is the set of rights that the assignments give for org.
func heldAt(all []store.Assignment, roles Roles, tree Tree, applicationID, org string) map[string]bool {
	held := map[string]bool{}
	for _, one := range all {
		if one.State != store.AssignmentActive || one.ApplicationID != applicationID || !tree.Within(org, one.OrganisationID) {
			continue
		}
		for _, right := range roles.contains(one.RoleKey) {
			held[right] = true
		}
	}
	return held
}

// contains lists the rights of a role; "" has none.
func (r Roles) contains(key string) []string {
	if key == "" {
		return nil
	}
	return append([]string{RightOf(key)}, r[key]...)
}
