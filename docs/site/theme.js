// Outputs of notebooks follow Jupyter's theme: tell them this page's.
const scheme = () => {
  document.body.dataset.jpThemeLight = document.body.dataset.mdColorScheme !== "slate";
};
new MutationObserver(scheme).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
scheme();
