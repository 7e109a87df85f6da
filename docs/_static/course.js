// An equation wider than its column can be scrolled with the keyboard, too.
function letWideEquationsBeReached() {
  for (const equation of document.querySelectorAll("mjx-container[display=true]")) {
    equation.toggleAttribute("tabindex", false);
    if (equation.scrollWidth > equation.clientWidth) equation.tabIndex = 0;
  }
}

window.addEventListener("load", () => {
  if (!window.MathJax) return;
  MathJax.startup.promise.then(letWideEquationsBeReached);
  window.addEventListener("resize", letWideEquationsBeReached);
});
