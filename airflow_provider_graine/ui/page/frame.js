// The page inside Airflow's own: its theme, its address bar, and links that leave the frame.

function airflow() {
  try {
    return window.parent !== window && window.parent.document ? window.parent : null; // another origin throws
  } catch {
    return null;
  }
}
const outer = airflow();

/** Follow the theme that is chosen in Airflow; on its own the page follows the system. */
export function followTheme() {
  if (!outer) return;
  const theirs = outer.document.documentElement, ours = document.documentElement;
  const follow = () => {
    const theme = ["dark", "light"].find((name) => theirs.classList.contains(name) || theirs.dataset.theme === name);
    if (theme) ours.dataset.theme = theme;
    else delete ours.dataset.theme;
  };
  follow();
  new MutationObserver(follow).observe(theirs, { attributes: true, attributeFilter: ["class", "data-theme"] });
}

/** What the address asks for; Airflow's own address counts where it has opened the page without a question. */
export function asked() {
  if (!location.search && outer?.location.search) history.replaceState(null, "", outer.location.search);
  return new URLSearchParams(location.search);
}

/** Put what is shown into the addresses, so that they can be shared and reloaded. */
export function ask(question) {
  const search = question.size ? `?${question}` : "";
  history.replaceState(null, "", location.pathname + search);
  // Airflow's page has a base address of its own: a question alone would not belong to this path.
  outer?.history.replaceState(outer.history.state, "", outer.location.pathname + search);
}

/** Open links in Airflow's window: the frame itself may not leave. */
export function openOutside() {
  if (!outer) return;
  const open = (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.button > 1) return;
    event.preventDefault();
    const stand_in = outer.document.createElement("a");
    stand_in.href = link.href;
    if (event.button === 1 || event.ctrlKey || event.metaKey || event.shiftKey) Object.assign(stand_in, { target: "_blank", rel: "noopener" });
    outer.document.body.append(stand_in);
    stand_in.click();
    stand_in.remove();
  };
  document.addEventListener("click", open);
  document.addEventListener("auxclick", open);
}
