// Without this script every judge's tables stand below one another, each named in its caption.
const judgeChoice = document.getElementById("judge");
if (judgeChoice) {
  const blocks = [...document.querySelectorAll("[data-judge]")];
  const choose = () => blocks.forEach((block) => { block.hidden = block.dataset.judge !== judgeChoice.value; });
  judgeChoice.closest(".control").hidden = false;
  judgeChoice.addEventListener("change", choose);
  choose();
}
