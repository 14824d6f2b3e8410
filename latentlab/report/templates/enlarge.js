{
  const dialog = document.getElementById("large");
  const title = dialog.querySelector("h2");
  const room = dialog.querySelector(".large");
  const open = (figure) => {
    title.textContent = figure.dataset.title;
    const shown = [...figure.querySelectorAll("img.picture, svg.chart")].map((one) => one.cloneNode(true));
    const caption = figure.querySelector("figcaption");
    room.replaceChildren(...shown, ...(caption ? [caption.cloneNode(true)] : []));
    dialog.showModal();
  };
  for (const figure of document.querySelectorAll("figure[data-title]")) {
    let tools = figure.querySelector(".tools");
    if (!tools) {
      tools = document.createElement("p");
      tools.className = "tools";
      figure.append(tools);
    }
    const button = document.createElement("button");
    const what = document.createElement("span");
    what.className = "aside";
    what.textContent = ` ${figure.dataset.title}`;
    button.type = "button";
    button.append("Enlarge", what);
    button.addEventListener("click", () => open(figure));
    tools.prepend(button, " ");
    const pictures = [...figure.querySelectorAll("img[data-file]")];
    for (const [place, picture] of pictures.entries()) {
      const link = document.createElement("a");
      const of = document.createElement("span");
      of.className = "aside";
      of.textContent = ` of ${picture.alt}`;
      link.download = picture.dataset.file;
      link.href = picture.src;
      const ending = picture.dataset.file.split(".").pop().toUpperCase();
      link.append(pictures.length > 1 ? `${ending} ${place + 1}` : ending, of);
      tools.append(link, " ");
    }
    for (const one of figure.querySelectorAll("img.picture, svg.chart")) {
      one.classList.add("opens");
      one.addEventListener("click", () => open(figure));
    }
  }
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => room.replaceChildren());
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
}
