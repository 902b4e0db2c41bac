// Package templates keeps everything that people see: the pages, the mails, the
// style sheet and the script.
//
//	pages.go     one struct per page          <name>.html       its template, inside layout.html
//	mails.go     one struct per mail          mail/<name>.html  and mail/<name>.txt
//	render.go    Renderer.Page, the headers   static/           served under /static/ by Renderer.Static
//	markdown.go  terms & conditions           colour.go         a portal's accent, made readable
//	storybook.go every page in every state
//
// A handler fills a struct and calls Renderer.Page; it never sees a template. A
// struct without a template, or a template without a struct, stops the start.
//
// Pages carry no inline script and no inline style, ask nothing of third parties
// but the portal's own logo, and work without JavaScript. The ids and field names
// are stable hooks: people's password managers and tests rely on them.
package templates
