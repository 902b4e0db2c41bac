package access

import (
	"errors"
	"slices"
	"testing"

	"anteroom/store"
)

// The tree: vendor over two distributors; north over two partners; each partner
// over a company.
var tree = NewTree([]store.Organisation{
	{ID: "vendor"},
	{ID: "north", ParentID: "vendor"}, {ID: "south", ParentID: "vendor"},
	{ID: "acme", ParentID: "north"}, {ID: "bolt", ParentID: "north"},
	{ID: "acme-berlin", ParentID: "acme"},
	{ID: "sun", ParentID: "south"},
})

var roles = Roles{
	"viewer": {"report.read"},
	"editor": {"report.read", "report.write"},
	"admin":  {RightSee, RightManage, "report.read", RightOf("viewer")},
	"owner":  {RightSee, RightManage, "report.read", "report.write", RightOf("viewer"), RightOf("editor"), RightOf("admin")},
	"seer":   {RightSee, RightOf("viewer"), "report.read"},
	"keeper": {RightManage, RightOf("viewer"), "report.read"},
	"thief":  {"organisation.see", "access.manage", "everything"},
}

func holds(role, org string) store.Assignment {
	return store.Assignment{
		AccountID: "granter", ApplicationID: "pa", OrganisationID: org, RoleKey: role, State: store.AssignmentActive,
	}
}

func grant(member, org, role string) Grant {
	return Grant{ApplicationID: "pa", MemberOrganisation: member, OrganisationID: org, RoleKey: role}
}

func TestMayGrant(t *testing.T) {
	invited := holds("owner", "vendor")
	invited.State = store.AssignmentInvited
	elsewhere := holds("owner", "vendor")
	elsewhere.ApplicationID = "pcc"
	own := func(all ...store.Assignment) []store.Assignment { return all }

	for _, c := range []struct {
		rule    string
		granter []store.Assignment
		grant   Grant
		want    bool
	}{
		{"a role that is held, in one's own organisation", own(holds("owner", "acme")), grant("acme", "acme", "owner"), true},
		{"a lesser role that the role lists", own(holds("admin", "acme")), grant("acme", "acme", "viewer"), true},
		{"one's own role, which contains itself", own(holds("admin", "acme")), grant("acme", "acme", "admin"), true},
		{"for an organisation below", own(holds("admin", "north")), grant("acme", "acme-berlin", "viewer"), true},
		{"to a member of an organisation below, for one beside it", own(holds("admin", "north")), grant("acme", "bolt", "viewer"), true},
		{"from the top to the bottom", own(holds("owner", "vendor")), grant("acme-berlin", "acme-berlin", "editor"), true},
		{"bare access where one manages", own(holds("admin", "acme")), grant("acme", "acme", ""), true},
		{"rights put together from two assignments", own(holds("seer", "acme"), holds("keeper", "acme")), grant("acme", "acme", "viewer"), true},
		{"rights put together from two levels", own(holds("seer", "north"), holds("keeper", "acme")), grant("acme", "acme", "viewer"), true},
		{"a stronger role held beside the one that manages", own(holds("admin", "acme"), holds("editor", "acme")), grant("acme", "acme", "editor"), true},

		{"nothing held", nil, grant("acme", "acme", "viewer"), false},
		{"a role without managing gives nothing, not even itself", own(holds("editor", "acme")), grant("acme", "acme", "editor"), false},
		{"seeing alone", own(holds("seer", "acme")), grant("acme", "acme", "viewer"), false},
		{"managing what one cannot see", own(holds("keeper", "acme")), grant("acme", "acme", "viewer"), false},
		{"a role with more rights than one's own", own(holds("admin", "acme")), grant("acme", "acme", "editor"), false},
		{"the role above one's own", own(holds("admin", "acme")), grant("acme", "acme", "owner"), false},
		{"a role that nobody defined", own(holds("admin", "acme")), grant("acme", "acme", "ghost"), false},
		{"upwards", own(holds("owner", "acme")), grant("acme", "north", "viewer"), false},
		{"to a member from above", own(holds("owner", "acme")), grant("north", "acme", "viewer"), false},
		{"sideways: another partner's organisation", own(holds("owner", "acme")), grant("acme", "bolt", "viewer"), false},
		{"sideways: another partner's member", own(holds("owner", "acme")), grant("bolt", "acme", "viewer"), false},
		{"another distributor's member", own(holds("admin", "north")), grant("sun", "acme", "viewer"), false},
		{"manages the member's place, holds the role only there", own(holds("owner", "acme"), holds("admin", "bolt")), grant("acme", "bolt", "editor"), false},
		{"an invitation that was not accepted", own(invited), grant("acme", "acme", "viewer"), false},
		{"rights in another application", own(elsewhere), grant("acme", "acme", "viewer"), false},
		{"a role held for no organisation", own(holds("owner", "")), grant("acme", "acme", "viewer"), false},
		{"for no organisation", own(holds("owner", "vendor")), grant("acme", "", "viewer"), false},
		{"to a member of no organisation", own(holds("owner", "vendor")), grant("", "acme", "viewer"), false},
		{"in an organisation that does not exist", own(holds("owner", "nowhere")), grant("nowhere", "nowhere", "viewer"), false},
		{"a role whose key looks like a right", own(holds("admin", "acme")), grant("acme", "acme", RightManage), false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			err := MayGrant(c.granter, roles, tree, c.grant)
			if got := err == nil; got != c.want {
				t.Fatalf("MayGrant = %v, want allowed %v", err, c.want)
			}
			if no, ok := errors.AsType[*NotAllowed](err); err != nil && (!ok || no.Explain() == "") {
				t.Fatalf("error %v has no words for a person", err)
			}
		})
	}
}

// Whatever chain of allowed grants is made, nobody ends with a right at a place
// where the first granter had none (I8).
func TestChainsOfGrantsNeverGainRights(t *testing.T) {
	places, keys := []string{}, []string{""}
	for org := range tree {
		places = append(places, org)
	}
	for key := range roles {
		keys = append(keys, key)
	}
	slices.Sort(places)
	slices.Sort(keys)
	for _, first := range []store.Assignment{holds("owner", "vendor"), holds("admin", "north"), holds("thief", "acme"), holds("keeper", "south")} {
		reached := []store.Assignment{first}
		for grew := true; grew; {
			grew = false
			for _, member := range places {
				for _, org := range places {
					for _, key := range keys {
						next := holds(key, org)
						if !slices.Contains(reached, next) && MayGrant(reached, roles, tree, grant(member, org, key)) == nil {
							reached, grew = append(reached, next), true
						}
					}
				}
			}
		}
		for _, org := range places {
			had := heldAt([]store.Assignment{first}, roles, tree, "pa", org)
			for right := range heldAt(reached, roles, tree, "pa", org) {
				if !had[right] {
					t.Errorf("who holds %s for %s reached %s at %s", first.RoleKey, first.OrganisationID, right, org)
				}
			}
		}
	}
}

func TestWithinEndsInACycle(t *testing.T) {
	loop := Tree{"a": "b", "b": "a"}
	if loop.Within("a", "c") || !loop.Within("a", "b") {
		t.Fatal("Within is wrong in a cycle")
	}
}
