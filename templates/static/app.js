// Improves pages that work without it: copy, print, show a password, count down,
// send a complete code, and send a form only once.
(() => {
  "use strict";
  const all = (selector, each) => document.querySelectorAll(selector).forEach(each);
  const announce = (button, word) => {
    const before = button.textContent;
    button.setAttribute("aria-live", "polite");
    button.textContent = word;
    setTimeout(() => { button.textContent = before; }, 2000);
  };

  // The clipboard needs https or localhost; elsewhere the text is selected.
  all("[data-copy]", (button) => {
    const source = document.getElementById(button.dataset.copy);
    button.hidden = false;
    button.addEventListener("click", async () => {
      const items = [...source.querySelectorAll("li")].map((li) => li.textContent.trim());
      try {
        await navigator.clipboard.writeText(source.dataset.secret || items.join("\n"));
        announce(button, "Copied");
      } catch {
        getSelection().selectAllChildren(source);
        announce(button, "Selected");
      }
    });
  });

  all("[data-print]", (button) => {
    button.hidden = false;
    button.addEventListener("click", () => print());
  });

  all("[data-reveal]", (button) => {
    const field = document.getElementById(button.dataset.reveal);
    const hide = () => {
      field.type = "password";
      button.firstChild.data = "Show";
      button.setAttribute("aria-pressed", "false");
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      if (field.type === "text") return hide();
      field.type = "text";
      button.firstChild.data = "Hide";
      button.setAttribute("aria-pressed", "true");
    });
    // Password managers and browsers keep what was sent from a password field.
    field.form.addEventListener("submit", hide);
  });

  all("[data-countdown]", (line) => {
    const end = Date.now() + 1000 * Number(line.dataset.countdown);
    const tick = () => {
      const left = Math.ceil((end - Date.now()) / 1000);
      if (left <= 0) {
        clearInterval(timer);
        line.setAttribute("role", "status");
        line.textContent = line.dataset.over;
        return;
      }
      line.textContent = `The next code comes in ${left} ${left === 1 ? "second" : "seconds"}.`;
    };
    const timer = setInterval(tick, 500);
  });

  // A form goes once: two clicks are one wish. Coming back makes it fresh.
  all("form[method=post]", (form) => {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) return event.preventDefault();
      form.dataset.sent = "yes";
      setTimeout(() => { delete form.dataset.sent; }, 4000);
    });
    addEventListener("pageshow", () => { delete form.dataset.sent; });
  });

  // Only the first try sends itself; after a refusal the person decides, and
  // before the countdown ends the code is still the used one. The field says so
  // to screen readers.
  all("[data-autosubmit]", (field) => {
    document.getElementById("code-auto").hidden = false;
    let sent = false;
    field.addEventListener("input", () => {
      if (sent || document.querySelector("[data-countdown]:not([role])") || !/^\d{6}$/.test(field.value.replace(/\s/g, ""))) return;
      sent = true;
      field.form.requestSubmit();
    });
  });
})();
