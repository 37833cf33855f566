// Draws the chosen key into the one figure, in the reader's own light or dark colors.
(() => {
  const figure = JSON.parse(document.getElementById("figure-data").textContent);
  const target = document.querySelector(".figure");
  const picker = document.getElementById("key");
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const draw = () => {
    const layout = structuredClone(figure.layout);
    layout.font = { color: color("--ink") };
    layout.hoverlabel = { bgcolor: color("--paper"), font: { color: color("--ink") } };
    for (const axis of ["xaxis", "yaxis", "yaxis2"]) {
      layout[axis].gridcolor = color("--line");
      layout[axis].zeroline = false;
    }
    Plotly.react(target, figure.traces[picker.value], layout, { responsive: true, displaylogo: false });
    target.setAttribute("aria-label", `Price and forecasts of ${picker.value}, last 7 days`);
  };
  picker.addEventListener("change", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
